"""Image-text retrieval: images with captions by language, an ALBEF model over them, and what it finds."""
