"""The websocket door: who knocks, who is let in, who is on which link."""
