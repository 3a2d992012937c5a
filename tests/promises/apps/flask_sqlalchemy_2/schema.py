"""Make the tables."""

from shop import app, db

with app.app_context():
    db.create_all()
    print("tables:", ", ".join(sorted(db.metadata.tables)))
