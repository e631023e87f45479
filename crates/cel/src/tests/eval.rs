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
        expect![[r#"
            1 + 2 * 3
                = 7 : int [2]
            -1 - -2
                = 1 : int [1]
            "a" + "b"
                = "ab" : string [1]
            [1] + [2, 3]
                = [1, 2, 3] : list(int) [1]
            1 / 0
                = error: division by zero [1]
            5 % 3
                = 2 : int [1]
            9223372036854775807 + 1
                = error: integer overflow [1]
            18446744073709551615u + 1u
                = error: unsigned integer overflow [1]
            1 < 2.5
                = true : bool [1]
            1u == 1
                = ERROR: <input>:1:4: found no matching overload for '_==_' applied to '(uint, int)'
             | 1u == 1
             | ...^
            dyn(1) == 1.0
                = true : bool [1]
            1 == 1 ? "y" : "n"
                = "y" : string [1]
            true || 1/0 == 1
                = true : bool [0]
            1/0 == 1 || true
                = true : bool [2]
            false && 1/0 == 1
                = false : bool [0]
            1/0 == 1 && true
                = error: division by zero [2]
            "abc".size()
                = 3 : int [1]
            size([1,2])
                = 2 : int [1]
            {"a": 1}["a"]
                = 1 : int [2]
            {"a": 1}.b
                = error: no such key: b [2]
            has({"a": 1}.b)
                = false : bool [1]
            [1,2][5]
                = error: index out of bounds: 5 [2]
            3 in [1, 2, 3]
                = true : bool [0]
            "x" in {"x": 1}
                = true : bool [1]
            --5
                = 5 : int [0]
            !true
                = false : bool [1]
            b"abc" == b'abc'
                = true : bool [1]
            "\u00e9\n"
                = "é\n" : string [0]
            type(1) == int
                = true : bool [1]
            timestamp("2023-01-02T03:04:05Z").getHours()
                = 3 : int [1]
            timestamp("2023-01-02T03:04:05+05:00")
                = timestamp(2023-01-02T03:04:05+05:00) : timestamp [0]
            string(timestamp("9999-12-31T23:59:59Z"))
                = "9999-12-31T23:59:59Z" : string [0]
            duration("90m").getHours()
                = 1 : int [1]
            string(duration("1.5s"))
                = "1.5s" : string [0]
            string(1e7)
                = "1e+07" : string [0]
            int("42") + int(3.9)
                = 45 : int [1]
        "#]],
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
        expect![[r#"
            [1,2,3].all(x, x > 0)
                = true : bool [16]
            [1,2,3].exists(x, x == 2)
                = true : bool [16]
            [1,2,3].exists_one(x, x > 2)
                = true : bool [10]
            [1,2,3].map(x, x * 2)
                = [2, 4, 6] : list(int) [43]
            [1,2,3].filter(x, x > 1)
                = [2, 3] : list(int) [33]
            [1,2,3].map(x, x > 1, x * 2)
                = [4, 6] : list(int) [35]
            {"a": 1, "b": 2}.map(k, k)
                = ["a", "b"] : list(string) [27]
            [1,2].all(i, v, i < v)
                = true : bool [13]
            {"a": 1}.transformMap(k, v, v + 1)
                = {"a": 2} : map(string, int) [6]
            [1,2].transformList(i, v, i + v)
                = [1, 3] : list(int) [31]
            {"a": "b"}.transformMapEntry(k, v, {v: k})
                = {"b": "a"} : map(string, string) [35]
            [3,1,2].sortBy(x, -x)
                = [3, 2, 1] : list(int) [74]
            optional.of(1).optMap(x, x + 1)
                = optional.of(2) : optional_type(int) [7]
            optional.none().orValue(3)
                = 3 : int [1]
            {"a": 1}.?b.orValue(2)
                = 2 : int [1]
            [1, ?optional.none(), 2]
                = [1, 2] : list(int) [11]
            [1].exists(x, 1/0 == 1)
                = error: division by zero [7]
            [0, 1].exists(x, 1/x == 1)
                = true : bool [15]
        "#]],
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
        expect![[r#"
            quantity("1Gi").isGreaterThan(quantity("1G"))
                = true : bool [3]
            quantity("100m").add(quantity("1")) == quantity("1.1")
                = true : bool [5]
            cidr("10.0.0.0/8").containsIP("10.1.2.3")
                = true : bool [3]
            cidr("10.0.0.0/8").containsCIDR("10.1.0.0/16")
                = true : bool [6]
            ip("::1").isLoopback()
                = true : bool [2]
            ip("1.2.3")
                = error: IP Address "1.2.3" parse error during conversion from string: ParseAddr("1.2.3"): IPv4 address too short [1]
            string(ip("10.0.0.1"))
                = "10.0.0.1" : string [2]
            url("https://user@example.com:80/a?b=c&b=d").getQuery()
                = {"b": ["c", "d"]} : map(string, list(string)) [5]
            url("https://example.com:80/a").getHost()
                = "example.com:80" : string [4]
            isURL("/x")
                = true : bool [1]
            semver("1.2.3").isGreaterThan(semver("1.2.3-rc.1"))
                = true : bool [3]
            isSemver("v1.0", true)
                = true : bool [1]
            "aXbXc".find("[A-Z]")
                = "X" : string [2]
            "aXbYc".findAll("[A-Z]")
                = ["X", "Y"] : list(string) [2]
            "abc".matches("^a.c$")
                = true : bool [2]
            "abc".matches("(")
                = ERROR: <input>:1:15: invalid matches argument
             | "abc".matches("(")
             | ..............^
            [1,3,2].isSorted()
                = false : bool [3]
            [1,3,2].max() + [1,2].sum()
                = 6 : int [6]
            [].sum() == 0
                = true : bool [1]
            sets.contains([1,2,3], [2])
                = true : bool [4]
            "Hello".lowerAscii().replace("l", "L").split("L")
                = ["he", "", "o"] : list(string) [3]
            "héllo".charAt(1) + "héllo".substring(2)
                = "éllo" : string [3]
            "%s is %d %.2f %x".format(["a", 3, 1.5, 255])
                = "a is 3 1.50 ff" : string [2]
            format.dns1123Label().validate("A_b")
                = optional.of(["a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"]) : optional_type(list(string)) [9]
            [1,2,2].distinct()
                = [1, 2] : list(int) [29]
            lists.range(3).reverse()
                = [2, 1, 0] : list(int) [28]
            [[1],[2,[3]]].flatten()
                = ERROR: <input>:1:6: expected type 'list(int)' but found 'list(dyn)'
             | [[1],[2,[3]]].flatten()
             | .....^
            ERROR: <input>:1:9: expected type 'int' but found 'list(int)'
             | [[1],[2,[3]]].flatten()
             | ........^
            [3,1].sort()
                = [1, 3] : list(int) [19]
            [1,2,3].slice(1,2)
                = [2] : list(int) [12]
        "#]],
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
        expect![[r#"
            x
                = ERROR: <input>:1:1: undeclared reference to 'x' (in container '')
             | x
             | ^
            1 + "a"
                = ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'
             | 1 + "a"
             | ..^
            foo(1)
                = ERROR: <input>:1:4: undeclared reference to 'foo' (in container '')
             | foo(1)
             | ...^
            "a".foo()
                = ERROR: <input>:1:8: undeclared reference to 'foo' (in container '')
             | "a".foo()
             | .......^
            [1, "a"]
                = ERROR: <input>:1:5: expected type 'int' but found 'string'
             | [1, "a"]
             | ....^
            {"a": 1, "b": "c"}
                = ERROR: <input>:1:15: expected type 'int' but found 'string'
             | {"a": 1, "b": "c"}
             | ..............^
            if
                = ERROR: <input>:1:1: reserved identifier: if
             | if
             | ^
            has(a)
                = ERROR: <input>:1:5: invalid argument to has() macro
             | has(a)
             | ....^
            [1].map(1, 2)
                = ERROR: <input>:1:9: argument is not an identifier
             | [1].map(1, 2)
             | ........^
            duration("x")
                = ERROR: <input>:1:10: invalid duration argument
             | duration("x")
             | .........^
            timestamp("x")
                = ERROR: <input>:1:11: invalid timestamp argument
             | timestamp("x")
             | ..........^
            int("x")
                = type conversion error from 'string' to 'int'
            "a".b
                = ERROR: <input>:1:4: type 'string' does not support field selection
             | "a".b
             | ...^
            1.map(x, x)
                = ERROR: <input>:1:1: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)
             | 1.map(x, x)
             | ^
            "\z"
                = ERROR: <input>:1:1: Syntax error: token recognition error at: '"\z'
             | "\z"
             | ^
            ERROR: <input>:1:4: Syntax error: token recognition error at: '"'
             | "\z"
             | ...^
            ERROR: <input>:1:5: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
             | "\z"
             | ....^
            Foo{a: 1}
                = ERROR: <input>:1:4: undeclared reference to 'Foo' (in container '')
             | Foo{a: 1}
             | ...^
            true && 1
                = ERROR: <input>:1:9: expected type 'bool' but found 'int'
             | true && 1
             | ........^
        "#]],
    );
}
