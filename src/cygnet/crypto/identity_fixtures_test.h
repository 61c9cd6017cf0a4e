// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Keys, certificates and requests that another tool (the openssl command, version 3.0) made, for
/// the refusals that our own code cannot produce. The private keys protect nothing.

namespace cygnet::crypto::fixtures {

/// Self-signed, RSA-2048.
inline constexpr char kRsaCertificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIC/TCCAeWgAwIBAgIUEntXpupY2Q41y41Z4kMEvZ49GrQwDQYJKoZIhvcNAQEL\n"
    "BQAwDjEMMAoGA1UEAwwDcnNhMB4XDTI2MTEyMTExMDQyNFoXDTM2MTExODExMDQy\n"
    "NFowDjEMMAoGA1UEAwwDcnNhMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKC\n"
    "AQEAqFl173Sys7BzvpFbkdDn6Wc9N1m3sV+iVuL0XoPhENcRkmFeZp6lauBhOZtm\n"
    "hBoxRuZ4GfW36zaR+ErjZ2Es3XObQK/Wr+Y9nFsapZtEyzGXtaLbmlktERVDSM1K\n"
    "36jnlkUFjCFj9C5ZJT0C72jEjlzy0jTZ3s+xDU8Ej+gLy0CD3jX6TyI0DeHsXuGT\n"
    "1KoIOSLsKNknN7S/V73Ye0uFY2yW55YcouaTEyALbPVbFWCaSo0F/KwMY9NFSPiC\n"
    "/m2zfezHKa/mPeUr0Xt+M6sOHgnUmTwu/v9lRJ22ST5bBgRwBdCi/t34lPthrWSs\n"
    "bcvmfn/A5ZiZBW1jBf2SDh8TFwIDAQABo1MwUTAdBgNVHQ4EFgQUhOeu9GMEccpT\n"
    "b1m5ZbQ7/JWLnpMwHwYDVR0jBBgwFoAUhOeu9GMEccpTb1m5ZbQ7/JWLnpMwDwYD\n"
    "VR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQsFAAOCAQEABXgJsmZqXnd1gWzbkdH/\n"
    "N5YztgtJ60Gs9Ntsy1PPMv8zmGUIflMkIIM9LaG37tWSf9M8TGYIEnMlCeAfDGZM\n"
    "3j+vSe1Mh7mC6AITpRphLJeWDpwLV/I3a566UUrruCFejlDi//2SrLQOzfQoy2UF\n"
    "r7nJWk1K+mB8RUKPXnoOsscXBiLHlXuE4RkkxyxQXb/92IK8rpjZp/ilJbbi8DON\n"
    "dywJOFhBUf+QIraLl87Joktn44pfEH4cwWnIs6/ps2VkoduY9KK2sQTddNM9G3Lj\n"
    "IWCnZ4BU8OZ/bgk1IeW37ixDeXV7jqol+1ldtA4z3hy8gxFAIG6z8HQLQGDAh+qN\n"
    "mg==\n"
    "-----END CERTIFICATE-----\n";

/// Self-signed, P-256 with its parameters written out instead of named.
inline constexpr char kExplicitCurveCertificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIICbzCCAhWgAwIBAgIUWfuMzEuDBvydqk2o1UhjLt7J4W4wCgYIKoZIzj0EAwIw\n"
    "EzERMA8GA1UEAwwIZXhwbGljaXQwHhcNMjYxMTIxMTEwNDI0WhcNMzYxMTE4MTEw\n"
    "NDI0WjATMREwDwYDVQQDDAhleHBsaWNpdDCCAUswggEDBgcqhkjOPQIBMIH3AgEB\n"
    "MCwGByqGSM49AQECIQD/////AAAAAQAAAAAAAAAAAAAAAP///////////////zBb\n"
    "BCD/////AAAAAQAAAAAAAAAAAAAAAP///////////////AQgWsY12Ko6k+ez671V\n"
    "dpiGvGUdBrDMU7D2O848PifSYEsDFQDEnTYIhucEk2pmeOETnSa3gZ9+kARBBGsX\n"
    "0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivO\n"
    "M1drMV7Oy7ZAaDe/UfUCIQD/////AAAAAP//////////vOb6racXnoTzucrC/GMl\n"
    "UQIBAQNCAATbFxIrHYaP9KHLDiyQ8iJ2axR3jzs1Cz9O8PlzKCcbyk8Ap7ZjOdXD\n"
    "55yjRzcL/htXYpLsX6wVi3ipM99g6PGEo1MwUTAdBgNVHQ4EFgQUilFpjyrxspeH\n"
    "kgix7kLVvYL/Ok4wHwYDVR0jBBgwFoAUilFpjyrxspeHkgix7kLVvYL/Ok4wDwYD\n"
    "VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA0LTtHTLaZLZYoTPDIt0r\n"
    "jhZzi1tF6FNbR09oZHdJC+QCIGlA2Y36BkWJbrrU6BM+9PhBTU74LXgEy59BmRir\n"
    "c5Hp\n"
    "-----END CERTIFICATE-----\n";

/// Self-signed, P-256 with a compressed point.
inline constexpr char kCompressedPointCertificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBXzCCAQWgAwIBAgIUNc5rb9Ib//bYkXMIQRGYb975YUcwCgYIKoZIzj0EAwIw\n"
    "FTETMBEGA1UEAwwKY29tcHJlc3NlZDAeFw0yNjExMjExMTA0MjRaFw0zNjExMTgx\n"
    "MTA0MjRaMBUxEzARBgNVBAMMCmNvbXByZXNzZWQwOTATBgcqhkjOPQIBBggqhkjO\n"
    "PQMBBwMiAALbFxIrHYaP9KHLDiyQ8iJ2axR3jzs1Cz9O8PlzKCcbyqNTMFEwHQYD\n"
    "VR0OBBYEFInJ+MntARqe2HKLphnkfMI9cJ98MB8GA1UdIwQYMBaAFInJ+MntARqe\n"
    "2HKLphnkfMI9cJ98MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIh\n"
    "AIrOO2fw81aTfeJtaj7iZIu7Eglb5BfGw0D0U5X8iH38AiB//1oiGkJOm1YE3t6W\n"
    "pt/WOqAKdUAEiff1RrEOUvi+NQ==\n"
    "-----END CERTIFICATE-----\n";

/// Self-signed, P-256, ECDSA with SHA-1.
inline constexpr char kSha1Certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBcjCCARigAwIBAgIUUV4C8azS4n+MJCIwZ0W9ahFdl7QwCQYHKoZIzj0EATAP\n"
    "MQ0wCwYDVQQDDARzaGExMB4XDTI2MTEyMTExMDQyNFoXDTM2MTExODExMDQyNFow\n"
    "DzENMAsGA1UEAwwEc2hhMTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNsXEisd\n"
    "ho/0ocsOLJDyInZrFHePOzULP07w+XMoJxvKTwCntmM51cPnnKNHNwv+G1dikuxf\n"
    "rBWLeKkz32Do8YSjUzBRMB0GA1UdDgQWBBSKUWmPKvGyl4eSCLHuQtW9gv86TjAf\n"
    "BgNVHSMEGDAWgBSKUWmPKvGyl4eSCLHuQtW9gv86TjAPBgNVHRMBAf8EBTADAQH/\n"
    "MAkGByqGSM49BAEDSQAwRgIhAMhEqhe6isyEL1NFJp3xEA2zYvhCLXxmXIayqEI3\n"
    "ErSnAiEApIi8+1ea5zffDj95WVVN4Pv5UaBVz2xO9eXxGhSYhXA=\n"
    "-----END CERTIFICATE-----\n";

/// Self-signed, P-256, ECDSA with SHA-512.
inline constexpr char kSha512Certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBdjCCAR2gAwIBAgIUe2C8cN51GT21K5vVBIb9Awh7d6cwCgYIKoZIzj0EAwQw\n"
    "ETEPMA0GA1UEAwwGc2hhNTEyMB4XDTI2MTEyMTExMDQyNFoXDTM2MTExODExMDQy\n"
    "NFowETEPMA0GA1UEAwwGc2hhNTEyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n"
    "2xcSKx2Gj/Shyw4skPIidmsUd487NQs/TvD5cygnG8pPAKe2YznVw+eco0c3C/4b\n"
    "V2KS7F+sFYt4qTPfYOjxhKNTMFEwHQYDVR0OBBYEFIpRaY8q8bKXh5IIse5C1b2C\n"
    "/zpOMB8GA1UdIwQYMBaAFIpRaY8q8bKXh5IIse5C1b2C/zpOMA8GA1UdEwEB/wQF\n"
    "MAMBAf8wCgYIKoZIzj0EAwQDRwAwRAIgL9hAb+zzUXT1ZdlVeLGPqrR4218zZVuX\n"
    "vSU9sNNRVvkCIBNMnVU+xaWDkEFxa+sccRKH2SeUdztfQtxURikuAkFx\n"
    "-----END CERTIFICATE-----\n";

/// Self-signed, P-256, X.509 version 1: no extensions.
inline constexpr char kVersion1Certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBFDCBuwIUZHfzOlAT19Szrt0LbyOYRIJQTZgwCgYIKoZIzj0EAwIwDTELMAkG\n"
    "A1UEAwwCdjEwHhcNMjYxMTIxMTEwNDI0WhcNMzYxMTE4MTEwNDI0WjANMQswCQYD\n"
    "VQQDDAJ2MTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNsXEisdho/0ocsOLJDy\n"
    "InZrFHePOzULP07w+XMoJxvKTwCntmM51cPnnKNHNwv+G1dikuxfrBWLeKkz32Do\n"
    "8YQwCgYIKoZIzj0EAwIDSAAwRQIgdR4IbPT1y0oXpiVbNzHFbPAEjlGZKDGLKKIZ\n"
    "/RlW+dICIQC7f3babYalnaOgb+3xbGTY0N/EyREBJIAruEGjIdYPgA==\n"
    "-----END CERTIFICATE-----\n";

/// Self-signed, P-521.
inline constexpr char kP521Certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIB+zCCAVygAwIBAgIUdxE2VJbbUE6F2AkE4Q6AEcXAkNkwCgYIKoZIzj0EAwIw\n"
    "DzENMAsGA1UEAwwEcDUyMTAeFw0yNjExMjExMTA0MjRaFw0zNjExMTgxMTA0MjRa\n"
    "MA8xDTALBgNVBAMMBHA1MjEwgZswEAYHKoZIzj0CAQYFK4EEACMDgYYABAEPClbw\n"
    "R6G+ndtdIDjGI3ZVVsFHp8I0MrS3T+0CHmh5PZdk4BYMJ4IETd8iJ4r4otA6caCe\n"
    "pjyl7Hvh3ci7UYZy8wCDo0PsswJM2TiS83TbY1D2ftiZAX3vq6s+JTA+OsOD+/Nm\n"
    "GGzIaA6L3TAI2gHDNu+FwajOS1haTTRBk6jfOSMNMqNTMFEwHQYDVR0OBBYEFEe6\n"
    "8v4ndmFmII9Y0USqqRNa9aDyMB8GA1UdIwQYMBaAFEe68v4ndmFmII9Y0USqqRNa\n"
    "9aDyMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDgYwAMIGIAkIAwWT2uCVP\n"
    "1gMA9ShN2B95+8V5UwcKM58oMIOxxtsUl5P8N1rIr4WHNKw8g8c3Sxew9iQrdtF0\n"
    "IZ3zfcfmUUcLbsMCQgFi8Q+KthHxw8yGLzK5LxJXJawliguHeMbItScYb2NDSD0Y\n"
    "B6E1ASBw2cGUe2QFjx4jBVNio9ZdaSUuu1ikx5pcTg==\n"
    "-----END CERTIFICATE-----\n";

/// Its only DNS name is "a.mesh", an octet zero, "b".
inline constexpr char kNulNameCertificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBdTCCARygAwIBAgIUGYEr2XA/kugP4lXM139Xu0DzTQAwCgYIKoZIzj0EAwIw\n"
    "DTELMAkGA1UEAwwCY2EwIBcNMjYxMTIxMTEwNTI0WhgPMjEyNjEwMjgxMTA1MjRa\n"
    "MA4xDDAKBgNVBAMMA251bDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABLfantX+\n"
    "oxzBQWjp3XAdmHVu770q0yBoN9ON5tB1vnh4nk2hukYsM1wkGV6lebDUYRQX1GhN\n"
    "jE1TkVdvzGQYqNmjVzBVMBMGA1UdEQQMMAqCCGEubWVzaABiMB0GA1UdDgQWBBSf\n"
    "MukPe/Ahe1DIasUARJXm9A3HMTAfBgNVHSMEGDAWgBSyNBpguV4gEJCTOwbcX2w7\n"
    "tMRk2TAKBggqhkjOPQQDAgNHADBEAiB/mwp6UWpJHxq/OjrX7BaXlA3/TAg6AupH\n"
    "7SNeJyEu7gIgSc2BTsWw5ESCHF5R5o/fUVahIDmUkPEipE9X5Qjl8YI=\n"
    "-----END CERTIFICATE-----\n";

/// A CA.
inline constexpr char kForeignCa[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBYDCCAQagAwIBAgIUWfrpkZ0569yYf5c5oSqCTm4BDnkwCgYIKoZIzj0EAwIw\n"
    "DTELMAkGA1UEAwwCY2EwIBcNMjYxMTIxMTEwNTI0WhgPMjEyNjEwMjgxMTA1MjRa\n"
    "MA0xCzAJBgNVBAMMAmNhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeuIOzEle\n"
    "wKlM0U+z+cjdcqqu02oFMvFQZlrCka8IlO9I8Z/wwu+kzE3MZOxlY3F6eGBm4C9V\n"
    "0p+fqAPtPf87CqNCMEAwDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAQYw\n"
    "HQYDVR0OBBYEFLI0GmC5XiAQkJM7BtxfbDu0xGTZMAoGCCqGSM49BAMCA0gAMEUC\n"
    "IQDA6V3BB+MoLS6hriXsKCzX0UskJehSV90jHrBvdh+V0AIgVWHRnAa5cBas/jpo\n"
    "Nou/nvfKVFy4U5sPTL07t5+MIMQ=\n"
    "-----END CERTIFICATE-----\n";

/// A leaf of kForeignCa.
inline constexpr char kForeignLeaf[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBjzCCATagAwIBAgIUGYEr2XA/kugP4lXM139Xu0DzTP4wCgYIKoZIzj0EAwIw\n"
    "DTELMAkGA1UEAwwCY2EwIBcNMjYxMTIxMTEwNTI0WhgPMjEyNjEwMjgxMTA1MjRa\n"
    "MAwxCjAIBgNVBAMMAWEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAS32p7V/qMc\n"
    "wUFo6d1wHZh1bu+9KtMgaDfTjebQdb54eJ5NobpGLDNcJBlepXmw1GEUF9RoTYxN\n"
    "U5FXb8xkGKjZo3MwcTAMBgNVHRMBAf8EAjAAMA4GA1UdDwEB/wQEAwIHgDARBgNV\n"
    "HREECjAIggZhLm1lc2gwHQYDVR0OBBYEFJ8y6Q978CF7UMhqxQBEleb0DccxMB8G\n"
    "A1UdIwQYMBaAFLI0GmC5XiAQkJM7BtxfbDu0xGTZMAoGCCqGSM49BAMCA0cAMEQC\n"
    "IARYaCVOPRKM5KNSqgMdPnPf4ot6MeNT3Gw9SnOrwuApAiBKJtJW4rQb5pTJ2uh1\n"
    "5OSMbmfCTyAl23BEHzgk3T1oeg==\n"
    "-----END CERTIFICATE-----\n";

/// Signed by the key of kForeignLeaf.
inline constexpr char kSignedByLeaf[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBkDCCATWgAwIBAgIUIFCu3cdyqD1mO0zcC6cCESimy3MwCgYIKoZIzj0EAwIw\n"
    "DDEKMAgGA1UEAwwBYTAgFw0yNjExMjExMTA1MjRaGA8yMTI2MTAyODExMDUyNFow\n"
    "DDEKMAgGA1UEAwwBYjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAWXAkrCl2sr\n"
    "T4uT4xYlyq3vSKhYiLCHmDHv9KC8gE3mveXzMTQ5Kl28dEYMBG4h1hVYjTtOmnuz\n"
    "105wbivIgzGjczBxMAwGA1UdEwEB/wQCMAAwDgYDVR0PAQH/BAQDAgeAMBEGA1Ud\n"
    "EQQKMAiCBmEubWVzaDAdBgNVHQ4EFgQUeRg6aPWSb5VuWpszLO7NWFMhp8owHwYD\n"
    "VR0jBBgwFoAUnzLpD3vwIXtQyGrFAESV5vQNxzEwCgYIKoZIzj0EAwIDSQAwRgIh\n"
    "ANmCX1ePJdQv1PBRDAelVNNcWWrAV9n4e6PC5weX0wK9AiEA5TlNKvSlZFNZN1Ht\n"
    "idIh3Vpan89Oy3IDJcEiExoC/cs=\n"
    "-----END CERTIFICATE-----\n";

/// A leaf of kForeignCa with a critical extension nobody knows.
inline constexpr char kUnknownCriticalExtension[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBgTCCASigAwIBAgIUGYEr2XA/kugP4lXM139Xu0DzTP8wCgYIKoZIzj0EAwIw\n"
    "DTELMAkGA1UEAwwCY2EwIBcNMjYxMTIxMTEwNTI0WhgPMjEyNjEwMjgxMTA1MjRa\n"
    "MA8xDTALBgNVBAMMBGNyaXQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAS32p7V\n"
    "/qMcwUFo6d1wHZh1bu+9KtMgaDfTjebQdb54eJ5NobpGLDNcJBlepXmw1GEUF9Ro\n"
    "TYxNU5FXb8xkGKjZo2IwYDAMBgNVHRMBAf8EAjAAMBAGBCoDBAUBAf8EBQwDb2Rk\n"
    "MB0GA1UdDgQWBBSfMukPe/Ahe1DIasUARJXm9A3HMTAfBgNVHSMEGDAWgBSyNBpg\n"
    "uV4gEJCTOwbcX2w7tMRk2TAKBggqhkjOPQQDAgNHADBEAiB81bSth+t22i1WPhri\n"
    "XrMQGiCvY5/Y+fYmGqj0yZo1sAIgKRi0QBvDreWU1Dhj7nWAQJSAdZ90ho9SdL/P\n"
    "lLgSXTw=\n"
    "-----END CERTIFICATE-----\n";

/// Under kForeignCa: CA:TRUE, but its key usage has no keyCertSign.
inline constexpr char kCaWithoutCertSign[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBgzCCASmgAwIBAgIUGYEr2XA/kugP4lXM139Xu0DzTQEwCgYIKoZIzj0EAwIw\n"
    "DTELMAkGA1UEAwwCY2EwIBcNMjYxMTIxMTEwNTI1WhgPMjEyNjEwMjgxMTA1MjVa\n"
    "MA8xDTALBgNVBAMMBG5va3MwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAS32p7V\n"
    "/qMcwUFo6d1wHZh1bu+9KtMgaDfTjebQdb54eJ5NobpGLDNcJBlepXmw1GEUF9Ro\n"
    "TYxNU5FXb8xkGKjZo2MwYTAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwIH\n"
    "gDAdBgNVHQ4EFgQUnzLpD3vwIXtQyGrFAESV5vQNxzEwHwYDVR0jBBgwFoAUsjQa\n"
    "YLleIBCQkzsG3F9sO7TEZNkwCgYIKoZIzj0EAwIDSAAwRQIhAKTUNTKKw3eVGIhX\n"
    "zgT2gmFH7yBLkI99wRpXSOctBzcoAiBFQXYaPTTDH2Jou11zhyfuintUfxxR0Jvb\n"
    "yS5xFavAbw==\n"
    "-----END CERTIFICATE-----\n";

/// Signed by kCaWithoutCertSign.
inline constexpr char kUnderCaWithoutCertSign[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBmTCCAUCgAwIBAgIUDMKVJPHDMFzS817qXvonGsZGNvwwCgYIKoZIzj0EAwIw\n"
    "DzENMAsGA1UEAwwEbm9rczAgFw0yNjExMjExMTA1MjVaGA8yMTI2MTAyODExMDUy\n"
    "NVowFDESMBAGA1UEAwwJdW5kZXJub2tzMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD\n"
    "QgAEBZcCSsKXaytPi5PjFiXKre9IqFiIsIeYMe/0oLyATea95fMxNDkqXbx0RgwE\n"
    "biHWFViNO06ae7PXTnBuK8iDMaNzMHEwDAYDVR0TAQH/BAIwADAOBgNVHQ8BAf8E\n"
    "BAMCB4AwEQYDVR0RBAowCIIGYS5tZXNoMB0GA1UdDgQWBBR5GDpo9ZJvlW5amzMs\n"
    "7s1YUyGnyjAfBgNVHSMEGDAWgBSfMukPe/Ahe1DIasUARJXm9A3HMTAKBggqhkjO\n"
    "PQQDAgNHADBEAiB0o//syCCUndkmdxbVwNUGZCn9xRrBxFc/E9XkWGaGGQIgBSWm\n"
    "JKMc0xTO96I2KzgxEzG2HcyYfpw85fDCXoVHvWA=\n"
    "-----END CERTIFICATE-----\n";

/// An intermediate CA under kForeignCa.
inline constexpr char kIntermediateCa[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBgjCCASigAwIBAgIUGYEr2XA/kugP4lXM139Xu0DzTQIwCgYIKoZIzj0EAwIw\n"
    "DTELMAkGA1UEAwwCY2EwIBcNMjYxMTIxMTEwNTI1WhgPMjEyNjEwMjgxMTA1MjVa\n"
    "MA4xDDAKBgNVBAMMA3N1YjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABLfantX+\n"
    "oxzBQWjp3XAdmHVu770q0yBoN9ON5tB1vnh4nk2hukYsM1wkGV6lebDUYRQX1GhN\n"
    "jE1TkVdvzGQYqNmjYzBhMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEG\n"
    "MB0GA1UdDgQWBBSfMukPe/Ahe1DIasUARJXm9A3HMTAfBgNVHSMEGDAWgBSyNBpg\n"
    "uV4gEJCTOwbcX2w7tMRk2TAKBggqhkjOPQQDAgNIADBFAiEAwVrkJlOwe9jQqZXz\n"
    "vQQ7qAGC5YmBP46jqSd+CLS+hewCICD+pz0xdaLw8IdvTDflQj62oHGxMrrnJo+l\n"
    "3Lx9L4gp\n"
    "-----END CERTIFICATE-----\n";

/// A leaf of kIntermediateCa.
inline constexpr char kUnderIntermediate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBlzCCAT6gAwIBAgIUMVExYzMsfOcHUJLyZ4JbKxHhavIwCgYIKoZIzj0EAwIw\n"
    "DjEMMAoGA1UEAwwDc3ViMCAXDTI2MTEyMTExMDUyNVoYDzIxMjYxMDI4MTEwNTI1\n"
    "WjATMREwDwYDVQQDDAh1bmRlcnN1YjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA\n"
    "BAWXAkrCl2srT4uT4xYlyq3vSKhYiLCHmDHv9KC8gE3mveXzMTQ5Kl28dEYMBG4h\n"
    "1hVYjTtOmnuz105wbivIgzGjczBxMAwGA1UdEwEB/wQCMAAwDgYDVR0PAQH/BAQD\n"
    "AgeAMBEGA1UdEQQKMAiCBmEubWVzaDAdBgNVHQ4EFgQUeRg6aPWSb5VuWpszLO7N\n"
    "WFMhp8owHwYDVR0jBBgwFoAUnzLpD3vwIXtQyGrFAESV5vQNxzEwCgYIKoZIzj0E\n"
    "AwIDRwAwRAIgJ902SAQKB97LPhMtsdwGZAI1JWtdTLOymrU4qn1yBwwCIGw0qx7P\n"
    "KWN1YW2sMKGMOhMZ7hyKgPSCU1SrGo6NmIzz\n"
    "-----END CERTIFICATE-----\n";

/// P-256 with its parameters written out.
inline constexpr char kExplicitCurveKey[] =
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MIIBaAIBAQQg+Cg9rlJLZNPvz4Ilils7lM4Sv5OfPPX9gU3hWICobRaggfowgfcC\n"
    "AQEwLAYHKoZIzj0BAQIhAP////8AAAABAAAAAAAAAAAAAAAA////////////////\n"
    "MFsEIP////8AAAABAAAAAAAAAAAAAAAA///////////////8BCBaxjXYqjqT57Pr\n"
    "vVV2mIa8ZR0GsMxTsPY7zjw+J9JgSwMVAMSdNgiG5wSTamZ44ROdJreBn36QBEEE\n"
    "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54W\n"
    "K84zV2sxXs7LtkBoN79R9QIhAP////8AAAAA//////////+85vqtpxeehPO5ysL8\n"
    "YyVRAgEBoUQDQgAE2xcSKx2Gj/Shyw4skPIidmsUd487NQs/TvD5cygnG8pPAKe2\n"
    "YznVw+eco0c3C/4bV2KS7F+sFYt4qTPfYOjxhA==\n"
    "-----END EC PRIVATE KEY-----\n";

/// Another curve of 256 bits.
inline constexpr char kSecp256k1Key[] =
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHQCAQEEIM1hw7finkRnQrLKdQPHZzl+/N6qSt6/EKOHeNtiYfpBoAcGBSuBBAAK\n"
    "oUQDQgAEksm43ddSUeGf0U9dbBSZZl3onOXqDp8+6T+QDTydbdH7Net8i07ZOA6S\n"
    "lQKqR4bJ+J4whaybIuZduz+tmgK2FA==\n"
    "-----END EC PRIVATE KEY-----\n";

/// A curve that is good for key exchange only.
inline constexpr char kP521Key[] =
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MIHcAgEBBEIB8pc7aq8kiSDvT9k4Cv1KdZ8S7ES2eBeqzi2wXJE1wk6cTPCxJ+A6\n"
    "5mpbN1LwurpGt3n08yOtnmavPrWR5J7eIBGgBwYFK4EEACOhgYkDgYYABAEPClbw\n"
    "R6G+ndtdIDjGI3ZVVsFHp8I0MrS3T+0CHmh5PZdk4BYMJ4IETd8iJ4r4otA6caCe\n"
    "pjyl7Hvh3ci7UYZy8wCDo0PsswJM2TiS83TbY1D2ftiZAX3vq6s+JTA+OsOD+/Nm\n"
    "GGzIaA6L3TAI2gHDNu+FwajOS1haTTRBk6jfOSMNMg==\n"
    "-----END EC PRIVATE KEY-----\n";

/// RSA-2048.
inline constexpr char kRsaKey[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIIEvwIBADANBgkqhkiG9w0BAQEFAASCBKkwggSlAgEAAoIBAQCoWXXvdLKzsHO+\n"
    "kVuR0OfpZz03WbexX6JW4vReg+EQ1xGSYV5mnqVq4GE5m2aEGjFG5ngZ9bfrNpH4\n"
    "SuNnYSzdc5tAr9av5j2cWxqlm0TLMZe1otuaWS0RFUNIzUrfqOeWRQWMIWP0Llkl\n"
    "PQLvaMSOXPLSNNnez7ENTwSP6AvLQIPeNfpPIjQN4exe4ZPUqgg5Iuwo2Sc3tL9X\n"
    "vdh7S4VjbJbnlhyi5pMTIAts9VsVYJpKjQX8rAxj00VI+IL+bbN97Mcpr+Y95SvR\n"
    "e34zqw4eCdSZPC7+/2VEnbZJPlsGBHAF0KL+3fiU+2GtZKxty+Z+f8DlmJkFbWMF\n"
    "/ZIOHxMXAgMBAAECggEAFQSiSZnva6lmh07SOLjKaM9dCwmLpRH/DHZRCHHSSiNy\n"
    "dqzrDR3Wd4BPCH2t2rqtwfUpM83ZP1JfVA6pfdvZ2Ztthoci4xrNlgqhH4xB66p5\n"
    "OedSH97tVk9/cy8/n1U7oKe6YxM8zZzHFXPyEgjUWBUjsyR/ulEs1jAHg532xv0c\n"
    "O8BrlNq4fPYquthqsYv0XkDpNp0r9QQGrFO9RIyAmsm23ljCduRC5L0WE6d+8oOc\n"
    "1iCE8jqnp3QN7sU0dBQ4WFc4RgEUUC3zaK25KUfvqNuXsMIoUCCbryDFgaRLjnzi\n"
    "tGicNGR+g9PDDy82iZ6C16p3ZJAPahQiiO1N8lHg1QKBgQDduoIWPVmOCXGRzorN\n"
    "z9Bmqrp4zBRHUK1C5WP0XfUIsLLGc6m+MgnQh9zT4xkD2r5Azo3gGzSpmQpa1nu/\n"
    "4FMk6Hm90iJ7xH2eWdaLWnpCQlSIeHll3BPHkv+UUuM9ZMt1a//ZToK+pW0lkN1v\n"
    "lAMO4H1gNeZKkV7z4KNhVo357QKBgQDCXtDToTOi0f+dDgGM2j4FFf6Mau97F+Ki\n"
    "RyamRrJeXxWPZMawX37zb57ihHoa5Vj+zjbmbVA3sKyOpQMv9/LG959aC+StapI3\n"
    "NBnNXvkgj2J+TAlM5ncAs3xlL7T+VAG2vpw9+BEBM4zp8mAbDL1xwUq/ygVwLqS1\n"
    "v+L2bKjQkwKBgQCELHj9fubSp8h+jWvq0hW+DcoI1kbEWFBgT1PtSNEXtBVt/WbT\n"
    "TQrStxqpaHfx90RwZ3DlhfI3o1Yr3i14rOWDW92ujQQnWXM0oQMmoPG+a8HudDqR\n"
    "wMY9suAN7/csEtjCD3Y9ePKxaPWObjPCHq5QAPxcDOVR0CSVJnTeQnVx5QKBgQCQ\n"
    "ef3rcOV633GLAkAwvIBhM2oUYeBEtQpm6VBXRDGNaEwUXCo8K5+nv45wfVxt5ZBz\n"
    "RkEUoqh/3LlHBm0KGNnC/4jZXAHMzWyF0Bplx3SSuUHS8x3upVhLkx6h8AYvDa6A\n"
    "ccqdXWj2ZaUWuGyrbpralXzEdpv4OROBbXJ9DWOmNQKBgQDQvbp7wbdbj32CjQIU\n"
    "qAK8ioD71njA/sabUpddBuhmOMYnBusMJZqXPdd05hmDrVcrg8sOrT0if/OaYvPX\n"
    "n810nmd3ufKXnfTSYOKXMOyy0ZluzZxitdfToPuAoEAs0vjtGsgVLmFsez2H/E2c\n"
    "w1ldG7iHpSSj3/mVPFE9Skayuw==\n"
    "-----END PRIVATE KEY-----\n";

/// P-256 under a password.
inline constexpr char kEncryptedKey[] =
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
    "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAi/GtS5xC+8eAICCAAw\n"
    "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEML0M25j9tI76E7tlIFtNJYEgZC7\n"
    "lbf46QA4DeRNMk7iOBpm2+ofFlaEvojaMwT1vIg4U1cVttHqgoB0vyY3iRJS/QyD\n"
    "jLiQWY0WlG6eA30JCCFfr1TH8AJKC9tdSje6xPpUUaLG+qHlmK+zAAThMY8fN02Z\n"
    "E2rZBIuNSdRCtElR619kDwRAlXhnO1zRBlF6tkBhRehKXWM/u+1YslLQqrqz9go=\n"
    "-----END ENCRYPTED PRIVATE KEY-----\n";

/// P-256 with the public value of another key.
inline constexpr char kMismatchedKey[] =
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEIPgoPa5SS2TT78+CJYpbO5TOEr+Tnzz1/YFN4ViAqG0WoAoGCCqGSM49\n"
    "AwEHoUQDQgAEt9qe1f6jHMFBaOndcB2YdW7vvSrTIGg3043m0HW+eHieTaG6Riwz\n"
    "XCQZXqV5sNRhFBfUaE2MTVORV2/MZBio2Q==\n"
    "-----END EC PRIVATE KEY-----\n";

/// A request with an RSA key.
inline constexpr char kRsaCsr[] =
    "-----BEGIN CERTIFICATE REQUEST-----\n"
    "MIICUTCCATkCAQAwDDEKMAgGA1UEAwwBcjCCASIwDQYJKoZIhvcNAQEBBQADggEP\n"
    "ADCCAQoCggEBAOmjod698M/uZdEaF/BM9K6NwYXXJLwsFyj0mV58t9Inpk2uf79H\n"
    "DoXf5LUYkFsltR52BJ2GXg5rri/9D7HuMpFiGsry4FeKf66U854UlNX+OtNEYoyO\n"
    "KPHHyV7iRIRPygZKk7WyEEiCcHgUbQDKz5LnkwaGgXMDTqYdTpITnBPXU8hR1lW7\n"
    "GGspJAxssnHHJ9SHxebwjmbVPV/QMB22meBou+LbRWmDhG811a+gXPKYe2ZKTNUl\n"
    "mAO0J/R7X/YyxuU/JoOQ3b81J6xbmTCfnkt0bcnQ2y9fSgcu8HBndwqRgBPLIP05\n"
    "6alVdiYhcHLpwJjPgn5qqVqCGzWgh/45NScCAwEAAaAAMA0GCSqGSIb3DQEBCwUA\n"
    "A4IBAQDPs0dLMwW2vvJD8oewkmmwZ2OFt2+gGkM89um0y/7LjT1k4QgVXM1Ygpf5\n"
    "OLtqPxImJkyd/NDsKs/ACfiHUAIG85SfE9hl0JpASuHHusQ4nnKy8N+riP7BXsMo\n"
    "HRwmLU1sd1jJ0MSRB+ui1WFFbZjjfIfRPT0sf8ZY6U6jKQS2ve1/lWUOGsApDF3/\n"
    "77mcZGjIPdoUVBA4j5FslU9h2zAaRUT0EdbnVr7d/EQOu9nR/JD+ssGH6wwJupt0\n"
    "xliG6YKb19Te+ToP9uqd6vmXaFj7pFHUeDI9Wx9c8r79nv9MfcppstVhQs9MD0NT\n"
    "DINM2nphwry1e92JeNm6BXF8twXH\n"
    "-----END CERTIFICATE REQUEST-----\n";

/// P-256, but signed with SHA-384.
inline constexpr char kSha384Csr[] =
    "-----BEGIN CERTIFICATE REQUEST-----\n"
    "MIHHMG4CAQAwDDEKMAgGA1UEAwwBcjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA\n"
    "BNsXEisdho/0ocsOLJDyInZrFHePOzULP07w+XMoJxvKTwCntmM51cPnnKNHNwv+\n"
    "G1dikuxfrBWLeKkz32Do8YSgADAKBggqhkjOPQQDAwNJADBGAiEAir/mdU52lfS0\n"
    "+RZ9zAPT+Vc5W3GQ0axR1EohosAdWrACIQDEVc5V8/3DGXgOs8OcHLs50EQeSCoY\n"
    "BVbipCjGCHTPUQ==\n"
    "-----END CERTIFICATE REQUEST-----\n";

/// P-256, no extensions at all.
inline constexpr char kBareCsr[] =
    "-----BEGIN CERTIFICATE REQUEST-----\n"
    "MIHHMG8CAQAwDTELMAkGA1UEAwwCdjEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\n"
    "AATbFxIrHYaP9KHLDiyQ8iJ2axR3jzs1Cz9O8PlzKCcbyk8Ap7ZjOdXD55yjRzcL\n"
    "/htXYpLsX6wVi3ipM99g6PGEoAAwCgYIKoZIzj0EAwIDSAAwRQIhAOgqcUVCOuI1\n"
    "ei7zEMH9zZ6Ab5hwPYeArvC6ahFGWIZ5AiAK8AfPJLRS5XG6Zp6ND/TJulAkps6P\n"
    "Ozf4I0eKKyROPA==\n"
    "-----END CERTIFICATE REQUEST-----\n";

/// P-256, two DNS names.
inline constexpr char kTwoNamesCsr[] =
    "-----BEGIN CERTIFICATE REQUEST-----\n"
    "MIHvMIGWAgEAMA4xDDAKBgNVBAMMA2EuYjBZMBMGByqGSM49AgEGCCqGSM49AwEH\n"
    "A0IABNsXEisdho/0ocsOLJDyInZrFHePOzULP07w+XMoJxvKTwCntmM51cPnnKNH\n"
    "Nwv+G1dikuxfrBWLeKkz32Do8YSgJjAkBgkqhkiG9w0BCQ4xFzAVMBMGA1UdEQQM\n"
    "MAqCA2EuYoIDYy5kMAoGCCqGSM49BAMCA0gAMEUCIQC6sOFsUZ0U1DRUVxOeFmpP\n"
    "uCEn7b0186vzgqtYEoap6QIgC9bxVJ08X8/UgbpMP/Acs0lqGVghyFlDryf5NPjr\n"
    "5Fw=\n"
    "-----END CERTIFICATE REQUEST-----\n";

/// Under kForeignCa: keyCertSign, but no basic constraints.
inline constexpr char kCaWithoutBasicConstraints[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBcjCCARigAwIBAgIUGYEr2XA/kugP4lXM139Xu0DzTQMwCgYIKoZIzj0EAwIw\n"
    "DTELMAkGA1UEAwwCY2EwIBcNMjYxMTIxMTEzODA4WhgPMjEyNjEwMjgxMTM4MDha\n"
    "MA8xDTALBgNVBAMMBG5vYmMwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAS32p7V\n"
    "/qMcwUFo6d1wHZh1bu+9KtMgaDfTjebQdb54eJ5NobpGLDNcJBlepXmw1GEUF9Ro\n"
    "TYxNU5FXb8xkGKjZo1IwUDAOBgNVHQ8BAf8EBAMCAoQwHQYDVR0OBBYEFJ8y6Q97\n"
    "8CF7UMhqxQBEleb0DccxMB8GA1UdIwQYMBaAFLI0GmC5XiAQkJM7BtxfbDu0xGTZ\n"
    "MAoGCCqGSM49BAMCA0gAMEUCIHqgJkfUa6FJLJLebAhdMJ5wIEJ9CL08Ur+uPAvE\n"
    "VpxFAiEAhPZejGwQu1CXAGdB1xsmoc2e2M1FfVUTigOxj5+Ror0=\n"
    "-----END CERTIFICATE-----\n";

/// Signed by kCaWithoutBasicConstraints.
inline constexpr char kUnderCaWithoutBasicConstraints[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBmzCCAUCgAwIBAgIUFB1Bl3X6o5aRYkaPNxG1DjQEyTUwCgYIKoZIzj0EAwIw\n"
    "DzENMAsGA1UEAwwEbm9iYzAgFw0yNjExMjExMTM4MDlaGA8yMTI2MTAyODExMzgw\n"
    "OVowFDESMBAGA1UEAwwJdW5kZXJub2JjMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD\n"
    "QgAEBZcCSsKXaytPi5PjFiXKre9IqFiIsIeYMe/0oLyATea95fMxNDkqXbx0RgwE\n"
    "biHWFViNO06ae7PXTnBuK8iDMaNzMHEwDAYDVR0TAQH/BAIwADAOBgNVHQ8BAf8E\n"
    "BAMCB4AwEQYDVR0RBAowCIIGYS5tZXNoMB0GA1UdDgQWBBR5GDpo9ZJvlW5amzMs\n"
    "7s1YUyGnyjAfBgNVHSMEGDAWgBSfMukPe/Ahe1DIasUARJXm9A3HMTAKBggqhkjO\n"
    "PQQDAgNJADBGAiEA0ZNIY+QFH8HsxcCXJJjdR1agi5AMjshZkLHMIrE7IMACIQDk\n"
    "b7wgRiBad/ujSmp9wzBOuh+OflCySvYswQtWNFuLJw==\n"
    "-----END CERTIFICATE-----\n";

/// A leaf of kForeignCa whose key usage is keyAgreement alone.
inline constexpr char kMayNotSign[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBgjCCASigAwIBAgIUGYEr2XA/kugP4lXM139Xu0DzTQYwCgYIKoZIzj0EAwIw\n"
    "DTELMAkGA1UEAwwCY2EwIBcNMjYxMTIxMTE0MzMzWhgPMjEyNjEwMjgxMTQzMzNa\n"
    "MBExDzANBgNVBAMMBm5vc2lnbjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABLfa\n"
    "ntX+oxzBQWjp3XAdmHVu770q0yBoN9ON5tB1vnh4nk2hukYsM1wkGV6lebDUYRQX\n"
    "1GhNjE1TkVdvzGQYqNmjYDBeMAwGA1UdEwEB/wQCMAAwDgYDVR0PAQH/BAQDAgMI\n"
    "MB0GA1UdDgQWBBSfMukPe/Ahe1DIasUARJXm9A3HMTAfBgNVHSMEGDAWgBSyNBpg\n"
    "uV4gEJCTOwbcX2w7tMRk2TAKBggqhkjOPQQDAgNIADBFAiEAw148s6CeXwmF+t/x\n"
    "TXmBrOgWAojXcaVzXnPbgN07npsCIH2ne7IFyRgFpYIzrf1W1jNaBTCn9tCIF0tl\n"
    "kigJIaIw\n"
    "-----END CERTIFICATE-----\n";

}  // namespace cygnet::crypto::fixtures
