"""Pictures of the museum: what they show, how they are drawn, and captions of them in eleven languages."""
