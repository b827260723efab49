"""Upserts the pipeline, runs it, and prints one line a step: what a user's notebook does."""

import sys

import boto3
import definition

ROLE = "arn:aws:iam::000000000000:role/user"

if __name__ == "__main__":
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=definition.BUCKET)
    s3.upload_file(sys.argv[1], definition.BUCKET, "input/abalone.csv")
    pipeline = definition.build(ROLE)
    pipeline.upsert(role_arn=ROLE)
    execution = pipeline.start()
    execution.wait(delay=1, max_attempts=120)
    for step in execution.list_steps():
        print("step", step["StepName"], step["StepStatus"])
    listed = s3.list_objects_v2(Bucket=definition.BUCKET, Prefix="AbaloneTransform")
    for each in listed.get("Contents", []):
        print("object", each["Key"])
