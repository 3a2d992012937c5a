"""Make the tables."""

from models import Base, engine

Base.metadata.create_all(engine)
print("tables:", ", ".join(sorted(Base.metadata.tables)))
