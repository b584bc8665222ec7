"""Take real-time events out of contact-centre platforms and put them on Kafka; lose none silently."""

__version__ = "0.1.0"
