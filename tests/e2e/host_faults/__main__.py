"""Write docs/faults-on-hosts.md: python -m tests.e2e.host_faults"""

from tests.e2e.host_faults.page import PAGE, write
from tests.e2e.host_faults.table import ROWS

write(ROWS)
print(f"written: {PAGE}")
