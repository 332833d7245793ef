"""The part of `start` that gives the service variables under names of its own."""

# The migrator's variables.py gives an env.py the same.
VARIABLES = '''

def give_variables():
    """Credentials, and where the database is, in the variables that this service reads."""
    said = {said}
    for variable, part in {environment!a}.items():
        kind, _, name = part.partition(":")
        value = credential(name) if name else said[kind]
        if name and not value:
            sys.exit(f"The credential {{name}}, which {{variable}} is to have, is missing. Nothing was started.")
        os.environ[variable] = value


def credential(name):
    try:
        with open(os.path.join(os.environ["CREDENTIALS_DIRECTORY"], name), encoding="utf-8") as file:
            return file.read().strip()
    except (KeyError, FileNotFoundError):
        return ""
    except (OSError, UnicodeDecodeError) as failure:
        sys.exit(f"The credential {{name}} cannot be read: {{failure}}. Nothing was started.")
'''
ADDRESS = '''

def address():
    """Where the database is, each part by its name."""
    from importlib.util import find_spec
    from urllib.parse import quote

    names = ("host", "port", "name", "user", "ca")
    said = {{name: os.environ.get({prefix!a} + "DATABASE_" + name.upper(), "") for name in names}}
    said["password"] = credential("database_password")
{need}    driver = {driver!a} or next(filter(find_spec, {drivers!a}), "")
    who = quote(said["user"], safe="") + (":" + quote(said["password"], safe="") if said["password"] else "")
    if said["host"].startswith("/"):
        where, query = "", "?host=" + quote(said["host"], safe="") + "&port=" + said["port"]
    else:
        host = "[" + said["host"] + "]" if ":" in said["host"] else said["host"]
        where, query = host + ":" + said["port"], "?ssl=verify-full" if driver == "asyncpg" else ""
        os.environ["PGSSLMODE"], os.environ["PGSSLROOTCERT"] = "verify-full", said["ca"]
    said["url"] = "postgresql+" + driver + "://" + who + "@" + where + "/" + said["name"] + query
    # Without it a driver looks for a home directory.
    os.environ["PGPASSFILE"] = "/nonexistent"
    return said
'''
# slipway stages no such release where the host has a socket alone; whoever runs an image may say a folder.
NO_FOLDER = """\
    if said["host"].startswith("/"):
        sys.exit(f"The service takes an address alone, and is told the folder {said['host']}. Nothing was started.")
    said["address"] = said["host"]
"""
# A host gives the password whenever there is one; whoever runs an image may have forgotten it.
NEED = """\
    if not said["password"] and not said["host"].startswith("/"):
        sys.exit(
            f"The credential database_password is missing or empty, and the database at {said['host']!r} asks for it. "
            "It is a file in the folder that CREDENTIALS_DIRECTORY names. Nothing was started."
        )
"""
