#!/bin/bash
# shows: AppArmor's profiles unloaded
# expect: audit-off at line 4
aa-teardown
