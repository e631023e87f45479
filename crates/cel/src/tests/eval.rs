use super::*;

#[test]
fn operators() {
    table(
        r#"
        1 + 2 * 3
        -1 - -2
        "a" + "b"
        [1] + [2, 3]
        1 / 0
        5 % 3
        9223372036854775807 + 1
        18446744073709551615u + 1u
        1 < 2.5
        1u == 1
        dyn(1) == 1.0
        1 == 1 ? "y" : "n"
        true || 1/0 == 1
        1/0 == 1 || true
        false && 1/0 == 1
        1/0 == 1 && true
        "abc".size()
        size([1,2])
        {"a": 1}["a"]
        {"a": 1}.b
        has({"a": 1}.b)
        [1,2][5]
        3 in [1, 2, 3]
        "x" in {"x": 1}
        --5
        !true
        b"abc" == b'abc'
        "\u00e9\n"
        type(1) == int
        timestamp("2023-01-02T03:04:05Z").getHours()
        timestamp("2023-01-02T03:04:05+05:00")
        string(timestamp("9999-12-31T23:59:59Z"))
        duration("90m").getHours()
        string(duration("1.5s"))
        string(1e7)
        int("42") + int(3.9)
        "#,
        expect![[""]],
    );
}

#[test]
fn macros() {
    table(
        r#"
        [1,2,3].all(x, x > 0)
        [1,2,3].exists(x, x == 2)
        [1,2,3].exists_one(x, x > 2)
        [1,2,3].map(x, x * 2)
        [1,2,3].filter(x, x > 1)
        [1,2,3].map(x, x > 1, x * 2)
        {"a": 1, "b": 2}.map(k, k)
        [1,2].all(i, v, i < v)
        {"a": 1}.transformMap(k, v, v + 1)
        [1,2].transformList(i, v, i + v)
        {"a": "b"}.transformMapEntry(k, v, {v: k})
        [3,1,2].sortBy(x, -x)
        optional.of(1).optMap(x, x + 1)
        optional.none().orValue(3)
        {"a": 1}.?b.orValue(2)
        [1, ?optional.none(), 2]
        [1].exists(x, 1/0 == 1)
        [0, 1].exists(x, 1/x == 1)
        "#,
        expect![[""]],
    );
}

#[test]
fn libraries() {
    table(
        r#"
        quantity("1Gi").isGreaterThan(quantity("1G"))
        quantity("100m").add(quantity("1")) == quantity("1.1")
        cidr("10.0.0.0/8").containsIP("10.1.2.3")
        cidr("10.0.0.0/8").containsCIDR("10.1.0.0/16")
        ip("::1").isLoopback()
        ip("1.2.3")
        string(ip("10.0.0.1"))
        url("https://user@example.com:80/a?b=c&b=d").getQuery()
        url("https://example.com:80/a").getHost()
        isURL("/x")
        semver("1.2.3").isGreaterThan(semver("1.2.3-rc.1"))
        isSemver("v1.0", true)
        "aXbXc".find("[A-Z]")
        "aXbYc".findAll("[A-Z]")
        "abc".matches("^a.c$")
        "abc".matches("(")
        [1,3,2].isSorted()
        [1,3,2].max() + [1,2].sum()
        [].sum() == 0
        sets.contains([1,2,3], [2])
        "Hello".lowerAscii().replace("l", "L").split("L")
        "héllo".charAt(1) + "héllo".substring(2)
        "%s is %d %.2f %x".format(["a", 3, 1.5, 255])
        format.dns1123Label().validate("A_b")
        [1,2,2].distinct()
        lists.range(3).reverse()
        [[1],[2,[3]]].flatten()
        [3,1].sort()
        [1,2,3].slice(1,2)
        "#,
        expect![[""]],
    );
}

#[test]
fn problems() {
    table(
        r#"
        x
        1 + "a"
        foo(1)
        "a".foo()
        [1, "a"]
        {"a": 1, "b": "c"}
        if
        has(a)
        [1].map(1, 2)
        duration("x")
        timestamp("x")
        int("x")
        "a".b
        1.map(x, x)
        "\z"
        Foo{a: 1}
        true && 1
        "#,
        expect![[""]],
    );
}
