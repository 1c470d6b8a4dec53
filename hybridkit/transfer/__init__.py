"""What the text encoders of the kit do on other tasks: inference and topics by a head on frozen vectors, and translations."""
