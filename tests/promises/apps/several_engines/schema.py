"""Make the tables."""

from store import Archived, Base, Order, archive, primary

Base.metadata.create_all(primary, [Order.__table__])
Base.metadata.create_all(archive, [Archived.__table__])
print("tables:", ", ".join(sorted(Base.metadata.tables)))
