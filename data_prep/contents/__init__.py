"""Database of pseudo-labels: any folder of videos without subjective scores -> versions of their scenes with labels.

It writes an ordinary csv database; the rest of the pipeline does not depend on its origin. Decision 0018 and
docs/adapt.md.
"""
