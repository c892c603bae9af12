"""Programs that documentation names, by which commands are told from other text."""

from __future__ import annotations

from typing import Final

__all__ = ["KNOWN", "WRITING"]

#: Programs that change something, whatever they are told.
WRITING: Final = frozenset([
    "cd", "cp", "mv", "rm", "mkdir", "chmod", "chown", "ln", "tee", "nano", "vi", "vim", "export", "source",
    "useradd", "adduser", "groupadd", "usermod", "tar", "unzip", "wget", "make", "sed", "install", "apt", "apt-get",
    "dnf", "yum", "zypper", "apk", "pacman", "brew", "pip", "pip3", "a2ensite", "a2enmod", "git", "go", "cargo",
    "npm", "gpg", "add-apt-repository",
])  # fmt: skip
#: Programs by which a block without a language is known to be commands.
KNOWN: Final = WRITING | frozenset([
    "apt-cache", "aptitude", "dpkg", "rpm", "snap", "pipx", "python", "python3", "gem", "cmake", "curl", "gunzip",
    "apt-key", "systemctl", "service", "rc-service", "rc-update", "update-rc.d", "chkconfig", "journalctl", "docker",
    "podman", "docker-compose", "kubectl", "helm", "sudo", "su", "cat", "echo", "printf", "grep", "awk", "userdel",
    "deluser", "id", "ps", "ss", "netstat", "nc", "ncat", "telnet", "ping", "dig", "ufw", "firewall-cmd", "iptables",
    "a2dissite", "nginx", "mysql", "mysqladmin", "psql", "createuser", "createdb", "redis-cli", "logger", "snmpget",
    "snmpwalk", "set", "test", "touch", "head", "tail", "openssl", "hostnamectl", "sysctl", "update-alternatives",
    "setcap", "runuser", "./configure",
])  # fmt: skip
