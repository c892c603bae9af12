set -eu
python3 - <<'END'
import shutil, os
for name in os.listdir('/opt/app/tmp'):
    shutil.rmtree(os.path.join('/opt/app/tmp', name))
END
