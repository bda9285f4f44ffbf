"""File descriptors: how many this process may have, and how many of them connections may take."""

import resource

RESERVED = 256  # for files, the jobs database, pipes of child processes, and connections that are being refused


def places_for_connections(wanted: int) -> int:
    """Raise the soft limit of descriptors as far as `wanted` connections need, and return how many can be had.

    At least half of the descriptors stay for everything else where there are few of them.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return wanted
    return min(wanted, max(soft - RESERVED, soft // 2))
