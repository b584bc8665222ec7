"""Take real-time events out of contact-centre platforms and put them on Kafka, without losing one silently."""

__version__ = "0.1.0"
