"""What outlives a manager: who made a pod, what is swept, what a successor goes on with."""
