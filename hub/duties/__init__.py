"""What the hub does by itself: looks, asks a policy, applies what it decides."""
