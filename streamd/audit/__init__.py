"""Read the topics and say whether anything is missing: the consumer's side of what is promised about loss."""
