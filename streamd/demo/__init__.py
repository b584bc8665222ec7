"""`streamd demo`: the main job with nothing installed, and proof of it counted on the Kafka side."""
