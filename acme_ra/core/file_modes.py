"""Who else may read a file that holds a secret: the rule for master keys, issuing keys and passphrases."""

import os
import stat

ROOT = 0


def is_private(status: os.stat_result, *, user: int) -> bool:
    """Whether nobody but `user` may read or change the file, or root gave it to be read by a group of that user's.

    The second is how Kubernetes mounts a Secret for a user who is not root (0440, root and the pod's fsGroup), and what
    PostgreSQL allows for its key: the owner, who chose the group, could read everything anyway.
    """
    mode = stat.S_IMODE(status.st_mode)
    if not mode & 0o077:
        return True
    return status.st_uid == ROOT != user and not mode & 0o037
