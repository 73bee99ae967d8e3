"""Duplicates: exact and near, among texts, images and videos, within and across corpora."""
