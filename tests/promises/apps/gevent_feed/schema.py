"""Make the tables."""

from feed import Base, engine

Base.metadata.create_all(engine)
print("tables:", ", ".join(sorted(Base.metadata.tables)))
