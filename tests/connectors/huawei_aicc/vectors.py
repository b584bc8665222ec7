"""The bodies of the contract's test vectors (vendors/huawei_aicc.md, section 1)."""

from __future__ import annotations

BODY = (
    b'{"request":{"version":"2.0"},"msgBody":{"beginTime":"2024-05-01 00:00:00",'
    b'"endTime":"2024-05-01 01:00:00","accountId":"202405010001","dataType":"call_record",'
    b'"callBackURL":"https://streamd.example.net:8443/hooks/huawei/cdr"}}'
)
CALLBACK = (
    b'{"request":{"version":"2.0"},"msgBody":{"responseId":"0f0e0d0c0b0a09080706050403020100",'
    b'"billFileName":"20240501_0f0e0d0c0b0a09080706050403020100.zip","accountId":"202405010001"}}'
)
