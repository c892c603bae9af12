#!/bin/bash
# shows: everybody may manage everything
# expect: access-opened at line 4
cat >/etc/polkit-1/rules.d/10.rules <<'END'
polkit.addRule(function(action, subject) { return polkit.Result.YES; });
END
