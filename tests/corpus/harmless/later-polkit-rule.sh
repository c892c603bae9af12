#!/bin/bash
# shows: what is its own
# looks like: later-polkit-rule
cat >/etc/polkit-1/rules.d/10.rules <<'END'
polkit.addRule(function(action, subject) { if (action.id == 'org.app.run' && subject.user == 'app') { return polkit.Result.YES; } });
END
