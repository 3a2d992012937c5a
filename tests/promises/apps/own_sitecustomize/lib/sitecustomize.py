"""The company's: every Python process gets the region, and says who started it."""

import os
import sys

os.environ.setdefault("SHOP_REGION", "north")
sys.stderr.write(f"site: region {os.environ['SHOP_REGION']}\n")
