#!/bin/bash
# shows: a makefile that is written and run
# expect: system-delete at line 4
cat >Makefile <<'END'
clean:
	rm -rf /usr
END
make clean
