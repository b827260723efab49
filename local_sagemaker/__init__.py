"""A local SageMaker: the real wire protocol, really executed, on this machine alone."""
