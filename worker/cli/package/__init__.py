"""Agent packages: what OpenIAP's agents run, built, published and tried out here.

Pure files (bytes and text in, bytes and text out): ``manifest`` (package.json and the document in
``agents``), ``ignore`` and ``selection`` (which files), ``requirements`` (pins), ``bootstrap``
(main.py), ``archive`` (the .tgz). Effects: ``project`` (reads the folder), ``wheel`` (of what is
installed here), ``build``, ``view`` (what it says), ``publish``, ``catalog`` (what is published),
``run`` (does here what an agent does), ``offline`` (without a registry).
``agent_settings`` says which settings fit an agent; what main.py starts there is
``worker.cli.agent``.
"""
