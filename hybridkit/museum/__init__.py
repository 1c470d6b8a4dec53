"""The embedded world: a made-up museum's catalogue in eleven languages, one lexicon file per language."""
