"""Ablations: arms that differ in named fields, several seeds each, compared with intervals."""
