"""The spokes and the other hubs: who holds whose link, and how each is reached."""
