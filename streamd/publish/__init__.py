"""Put records on Kafka; the only package that imports asyncio and aiokafka."""
