"""CRM enrichment for Twilio TaskRouter, inside the assignment callback.

`docs/architecture.md` has a picture, one callback walked through, and a sentence on every folder. The short of it, from
the edge inwards; each package imports strictly lower ones:

    application.py  the factory; __main__.py is the console command
    cli/            the `flask` commands
    webhooks/  pages/  health.py  demo/
                    the edges: what TaskRouter calls, what people see, what load balancers ask, all of it on one machine
    services.py     the one place where adapters are put together
    flows/  provisioning/  diagnosis/
                    the stories: assignment, enrichment, lifecycle, worker; a workspace as code; what the doctor checks
    customers/  journal/  accounts/  policy/  taskrouter/
                    the subjects, each with its rules and its adapter
    database/  telemetry/
    resilience/  settings.py  resources.py
    domain/  errors.py
                    closed lists and the records that travel; the tree of errors
"""

__version__ = "0.1.0"
