import json
import sys

json.load(sys.stdin)
