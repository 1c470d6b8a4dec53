"""Images with captions in many languages: an ALBEF model, its training along batch plans, and its evaluation."""
