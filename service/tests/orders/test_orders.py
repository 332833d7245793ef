"""What a client gets from the orders of an account."""

import uuid

import httpx2
import pytest

from conftest import Database
from orders.conftest import ACCOUNTS, Customer, NewCustomer, NewProduct, check_invariants, count, stock_of

pytestmark = pytest.mark.anyio
