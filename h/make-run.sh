set -eu
cat >Makefile <<'END'
clean:
	rm -rf build
END
make clean
