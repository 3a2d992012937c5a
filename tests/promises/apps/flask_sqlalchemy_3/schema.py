"""Make the tables."""

from shop import create_app
from shop.extensions import db

with create_app().app_context():
    db.create_all()
    print("tables:", ", ".join(sorted(db.metadata.tables)))
