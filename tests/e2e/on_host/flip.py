"""Turns one bit in the middle of the one file that a pattern finds; writes its path."""

import glob
import json
import sys

(path,) = glob.glob(json.loads(sys.argv[1])["pattern"])
with open(path, "r+b") as file:
    content = bytearray(file.read())
    content[len(content) // 2] ^= 1
    file.seek(0)
    file.write(content)
print(json.dumps(path))
