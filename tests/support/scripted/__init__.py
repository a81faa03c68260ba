"""A model server on loopback that does what the prompt says: real agents without a model."""
