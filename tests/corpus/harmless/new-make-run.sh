#!/bin/bash
# shows: what is its own
# looks like: new-make-run
cat >Makefile <<'END'
clean:
	rm -rf build
END
make clean
