"""A cache in Redis that the service is correct without: `RedisCache`, `cached` and `RedisLock`.

Nothing about money or stock is ever decided by what is read here: the database's row locks do that.
"""

from shop.core.cache.cached import cached
from shop.core.cache.connection import open_cache
from shop.core.cache.lock import LockNotAcquired, RedisLock
from shop.core.cache.store import MISS, RedisCache, cache_of

__all__ = ["MISS", "LockNotAcquired", "RedisCache", "RedisLock", "cache_of", "cached", "open_cache"]
