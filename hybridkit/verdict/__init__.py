"""The published numbers, and what finished runs say of each: estimates, verdicts, claims, and their page."""
