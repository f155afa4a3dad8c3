"""What the cluster is to be: settings and their checks, topology, packages, volume options.

Pure: nothing here asks a machine or the engine, or makes a resource.
"""
