"""How the supervisor brings a job from the queue to its end."""
