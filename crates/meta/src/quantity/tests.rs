//! Laws that hold for all quantities, tried on some by a seed.

use super::*;

/// Spellings of all sizes, signs and suffixes.
fn samples() -> Vec<Quantity> {
    let numbers = ["0", "1", "7", "1.5", "0.001", "999", "1024", "123456789", "9223372036854775807", "1e40"];
    let suffixes = ["", "n", "u", "m", "k", "M", "E", "Ki", "Gi", "Ei", "e-3", "e12"];
    let mut all = Vec::new();
    for number in numbers {
        for suffix in suffixes {
            for sign in ["", "-"] {
                all.extend(Quantity::parse(&format!("{sign}{number}{suffix}")));
            }
        }
    }
    all
}

fn sum(a: &Quantity, b: &Quantity) -> Quantity {
    let mut sum = a.clone();
    sum.add(b);
    sum
}

#[test]
fn addition_and_order_agree() {
    let all = samples();
    assert!(all.len() > 200, "{}", all.len());
    for (i, a) in all.iter().enumerate() {
        for (j, b) in all.iter().enumerate() {
            let c = &all[(i * 31 + j * 17) % all.len()];
            assert_eq!(sum(a, b), sum(b, a), "{a} + {b}");
            assert_eq!(sum(&sum(a, b), c), sum(a, &sum(b, c)), "{a} + {b} + {c}");
            assert_eq!(a.cmp(b), sum(a, c).cmp(&sum(b, c)), "{a} ? {b}, both + {c}");
            let mut back = sum(a, b);
            back.sub(b);
            assert_eq!(back, *a, "{a} + {b} - {b}");
            let mut difference = a.clone();
            difference.sub(b);
            assert_eq!(difference.sign(), a.cmp(b) as i32, "{a} - {b}");
        }
    }
}

#[test]
fn multiplication_is_repeated_addition() {
    for a in samples() {
        let mut product = a.clone();
        product.mul(3);
        assert_eq!(product, sum(&sum(&a, &a), &a), "{a} * 3");
        product.mul(0);
        assert!(product.is_zero());
    }
}

/// Within exa the canonical spelling is the same number; beyond, upstream has no suffix and drops it.
#[test]
fn canonical_spelling_is_the_number() {
    let exa = Quantity::parse("1000E").expect("a quantity");
    for q in samples().iter().filter(|q| **q < exa && sum(q, &exa).sign() > 0) {
        let again = Quantity::parse(&q.canonical()).expect("a canonical quantity");
        assert_eq!(again, *q);
        assert_eq!(again.canonical(), q.canonical());
    }
}

#[test]
fn trees() {
    let read = |v: Value| Quantity::from_value(&v).map(|q| q.to_string());
    assert_eq!(read(Value::Null), Ok("0".to_owned()));
    assert_eq!(read(Value::from(" 1.5Gi ")), Ok("1536Mi".to_owned()));
    assert_eq!(read(Value::from(100)), Ok("100".to_owned()));
    assert_eq!(read(value::Number::Float(0.5).into()), Ok("500m".to_owned()));
    assert_eq!(read(Value::from(true)), Err(ParseError::Format));
}

#[test]
fn format_of_a_sum() {
    let q = |text| Quantity::parse(text).expect("a quantity");
    assert_eq!(sum(&Quantity::default(), &q("1Gi")).to_string(), "1Gi");
    assert_eq!(sum(&q("1M"), &q("1Ki")).to_string(), "1001024");
    assert_eq!(sum(&q("1Ki"), &q("1M")).to_string(), "1001024");
    assert_eq!(sum(&q("1023Mi"), &q("1Mi")).to_string(), "1Gi");
}
