//! Syntax errors, and the limits on what is parsed.

use super::*;

#[test]
fn recovery() {
    table(
        r#"
        1 +
        a.
        a..b
        a.b.
        (1
        1)
        a b
        f(,)
        f(1,)
        f(a b)
        [1, 2
        {'a' 1}
        {?'a'}
        a[]
        l[?
        a = b
        a === b
        a <> b
        a ! b
        a && && b
        -1 x
        -1. + 2
        x ? y
        a.true
        true.x
        x.if
        if
        if(x)
        'unterminated
        "a' + x
        self.?
        `a`
        a.`b`
        $x
        not a
        == b'x' < if
        has(a.b.)
        "#,
        expect![[r#"
            1 +
                = ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
             | 1 +
             | ...^
            a.
                = ERROR: <input>:1:3: Syntax error: no viable alternative at input '.'
             | a.
             | ..^
            a..b
                = ERROR: <input>:1:3: Syntax error: no viable alternative at input '..'
             | a..b
             | ..^
            a.b.
                = ERROR: <input>:1:5: Syntax error: no viable alternative at input '.'
             | a.b.
             | ....^
            (1
                = ERROR: <input>:1:3: Syntax error: missing ')' at '<EOF>'
             | (1
             | ..^
            1)
                = ERROR: <input>:1:2: Syntax error: extraneous input ')' expecting <EOF>
             | 1)
             | .^
            a b
                = ERROR: <input>:1:3: Syntax error: extraneous input 'b' expecting <EOF>
             | a b
             | ..^
            f(,)
                = ERROR: <input>:1:3: Syntax error: extraneous input ',' expecting {'[', '{', '(', ')', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
             | f(,)
             | ..^
            f(1,)
                = ERROR: <input>:1:5: Syntax error: mismatched input ')' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
             | f(1,)
             | ....^
            f(a b)
                = ERROR: <input>:1:5: Syntax error: extraneous input 'b' expecting ')'
             | f(a b)
             | ....^
            [1, 2
                = ERROR: <input>:1:6: Syntax error: mismatched input '<EOF>' expecting {']', ','}
             | [1, 2
             | .....^
            {'a' 1}
                = ERROR: <input>:1:6: Syntax error: missing ':' at '1'
             | {'a' 1}
             | .....^
            {?'a'}
                = ERROR: <input>:1:6: Syntax error: mismatched input '}' expecting ':'
             | {?'a'}
             | .....^
            a[]
                = ERROR: <input>:1:3: Syntax error: mismatched input ']' expecting {'[', '{', '(', '.', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
             | a[]
             | ..^
            l[?
                = ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
             | l[?
             | ...^
            a = b
                = ERROR: <input>:1:3: Syntax error: token recognition error at: '= '
             | a = b
             | ..^
            ERROR: <input>:1:5: Syntax error: extraneous input 'b' expecting <EOF>
             | a = b
             | ....^
            a === b
                = ERROR: <input>:1:5: Syntax error: token recognition error at: '= '
             | a === b
             | ....^
            a <> b
                = ERROR: <input>:1:4: Syntax error: extraneous input '>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
             | a <> b
             | ...^
            a ! b
                = ERROR: <input>:1:3: Syntax error: mismatched input '!' expecting <EOF>
             | a ! b
             | ..^
            a && && b
                = ERROR: <input>:1:6: Syntax error: extraneous input '&&' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
             | a && && b
             | .....^
            -1 x
                = ERROR: <input>:1:4: Syntax error: extraneous input 'x' expecting <EOF>
             | -1 x
             | ...^
            -1. + 2
                = ERROR: <input>:1:5: Syntax error: no viable alternative at input '. +'
             | -1. + 2
             | ....^
            x ? y
                = ERROR: <input>:1:6: Syntax error: mismatched input '<EOF>' expecting ':'
             | x ? y
             | .....^
            a.true
                = ERROR: <input>:1:3: Syntax error: mismatched input 'true' expecting IDENTIFIER
             | a.true
             | ..^
            true.x
                = ERROR: <input>:1:5: type 'bool' does not support field selection
             | true.x
             | ....^
            x.if
                = ERROR: <input>:1:1: undeclared reference to 'x' (in container '')
             | x.if
             | ^
            if
                = ERROR: <input>:1:1: reserved identifier: if
             | if
             | ^
            if(x)
                = ERROR: <input>:1:1: reserved identifier: if
             | if(x)
             | ^
            'unterminated
                = ERROR: <input>:1:1: Syntax error: token recognition error at: ''unterminated'
             | 'unterminated
             | ^
            ERROR: <input>:1:14: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
             | 'unterminated
             | .............^
            "a' + x
                = ERROR: <input>:1:1: Syntax error: token recognition error at: '"a' + x'
             | "a' + x
             | ^
            ERROR: <input>:1:8: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
             | "a' + x
             | .......^
            self.?
                = ERROR: <input>:1:7: Syntax error: mismatched input '<EOF>' expecting {IDENTIFIER, ESC_IDENTIFIER}
             | self.?
             | ......^
            ERROR: <input>:1:7: unsupported ident kind
             | self.?
             | ......^
            `a`
                = ERROR: <input>:1:1: Syntax error: mismatched input '`a`' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
             | `a`
             | ^
            a.`b`
                = ERROR: <input>:1:3: unsupported syntax: '`'
             | a.`b`
             | ..^
            $x
                = ERROR: <input>:1:1: Syntax error: token recognition error at: '$'
             | $x
             | ^
            not a
                = ERROR: <input>:1:5: Syntax error: extraneous input 'a' expecting <EOF>
             | not a
             | ....^
            == b'x' < if
                = ERROR: <input>:1:1: Syntax error: extraneous input '==' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
             | == b'x' < if
             | ^
            ERROR: <input>:1:11: reserved identifier: if
             | == b'x' < if
             | ..........^
            has(a.b.)
                = ERROR: <input>:1:9: Syntax error: no viable alternative at input '.)'
             | has(a.b.)
             | ........^
        "#]],
    );
}

#[test]
fn snippets_count_characters() {
    let env = Env::stored_expressions();
    let shown = |s: &str| env.compile(s).unwrap_err().to_string();
    expect![[r#"
        ERROR: <input>:1:7: undeclared reference to 'x' (in container '')
         | 'é' + x
         | .．....^
        ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'
         | 1 +
         | ..^
        ERROR: <input>:2:9: undeclared reference to 'y' (in container '')
         |  '日本' - y
         | ..．．....^
        ERROR: <input>:2:2: undeclared reference to 'x' (in container '')
         |  x
         | .^"#]]
    .assert_eq(&[shown("'é' + x"), shown("1 +\n\t'日本' - y"), shown("\r\n x")].join("\n"));
}

#[test]
fn limits() {
    let env = Env::stored_expressions();
    let mut out = String::new();
    for source in [
        "(".repeat(249) + "1" + &")".repeat(249),
        "(".repeat(250) + "1" + &")".repeat(250),
        "1+".repeat(248) + "1",
        "1+".repeat(300) + "1",
        "x".to_owned() + &".a".repeat(300),
        "-".repeat(90_000) + "1",
        "[".repeat(99_000),
        "'a".repeat(40_000),
        "a ".repeat(40_000),
        "!-".repeat(10_000),
        "true && ".repeat(12_000) + "true",
        "'".to_owned() + &"a".repeat(100_000) + "'",
        "optional.of(1)".to_owned() + &".optMap(y, y)".repeat(100),
        "[[1].map(x, ".repeat(80) + "1" + &")]".repeat(80),
    ] {
        let result = match env.compile(&source) {
            Ok(p) => format!("ok, {:?}", p.eval(&Activation::new(), Budget::default()).0.is_ok()),
            Err(e) => e.to_string().chars().take(100).collect(),
        };
        let head: String = source.chars().take(20).collect();
        out.push_str(&format!("{head}… ({}): {}\n", source.len(), result.replace('\n', " ⏎ ")));
    }
    expect![[r#"
        ((((((((((((((((((((… (499): ok, true
        ((((((((((((((((((((… (501): ERROR: <input>:-1:0: expression recursion limit exceeded: 250
        1+1+1+1+1+1+1+1+1+1+… (497): ok, true
        1+1+1+1+1+1+1+1+1+1+… (601): ERROR: <input>:-1:0: max recursion depth exceeded
        x.a.a.a.a.a.a.a.a.a.… (601): ERROR: <input>:-1:0: max recursion depth exceeded
        --------------------… (90001): ok, true
        [[[[[[[[[[[[[[[[[[[[… (99000): ERROR: <input>:-1:0: expression recursion limit exceeded: 250
        'a'a'a'a'a'a'a'a'a'a… (80000): ERROR: <input>:-1:0: error recovery token lookahead limit exceeded: 256 ⏎ ERROR: <input>:1:4: Syntax e
        a a a a a a a a a a … (80000): ERROR: <input>:-1:0: error recovery token lookahead limit exceeded: 256 ⏎ ERROR: <input>:1:3: Syntax e
        !-!-!-!-!-!-!-!-!-!-… (20000): ERROR: <input>:1:3: Syntax error: no viable alternative at input '-!' ⏎ ERROR: <input>:1:5: Syntax err
        true && true && true… (96004): ok, true
        'aaaaaaaaaaaaaaaaaaa… (100002): ERROR: <input>:-1:0: expression code point size exceeds limit: size: 100002, limit 100000
        optional.of(1).optMa… (1314): ERROR: <input>:-1:0: expression expands to more than 200000 nodes
        [[1].map(x, [[1].map… (1121): ok, true
    "#]].assert_eq(&out);
}

#[test]
fn fuzz_entry_survives_mutations() {
    // A small generator: the point is that nothing of this panics or hangs.
    let seeds = [
        "self.a.b(c, d)[0].f ? [1, ?x] : {'a': -1 + 2u}",
        "l.all(x, x > 0 && s.matches('^a*$')) || has(self.o.a)",
        "Object{spec: Object.spec{?a: self.?b}}.spec",
        "quantity('1Gi').add(1).asInteger() in [1.0, 2]",
        "'%s %d %.3f'.format([s, 1, 2.0])",
    ];
    let parts =
        ["(", ")", "[", "]", "{", "}", ".", ",", "?", "'", "\"", "\\", "é", "&&", "!", "-", "0x", "1e", " "];
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    for _ in 0..500 {
        let mut text: Vec<char> = seeds[next(seeds.len())].chars().collect();
        for _ in 0..=next(3) {
            let at = next(text.len() + 1);
            match next(3) {
                0 if at < text.len() => drop(text.remove(at)),
                1 => text.truncate(at),
                _ => text.splice(at..at, parts[next(parts.len())].chars()).for_each(drop),
            }
        }
        crate::fuzz::any_source(&text.into_iter().collect::<String>());
    }
}
